import jakarta.servlet.DispatcherType;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.EnumSet;
import java.util.Map;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.TestTables.LocalFileIO;
import org.apache.iceberg.jdbc.JdbcCatalog;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.FilterHolder;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/** Serves Iceberg's catalog on a SQLite file; arguments: host, port, folder, and a secret if it is asked for. */
class RestCatalog {
  public static void main(String[] args) throws Exception {
    var catalog =
        CatalogUtil.buildIcebergCatalog(
            "archive",
            Map.of(
                "catalog-impl", JdbcCatalog.class.getName(),
                "io-impl", LocalFileIO.class.getName(),
                "uri", "jdbc:sqlite:" + args[2] + "/rest.db",
                "jdbc.schema-version", "V1",
                "warehouse", args[2]),
            null);
    var context = new ServletContextHandler();
    var servlet = new RESTCatalogServlet(new RESTCatalogAdapter(catalog));
    context.addServlet(new ServletHolder(servlet), "/*");
    if (args.length > 3) {
      var door = new FilterHolder(new Door(args[3]));
      context.addFilter(door, "/*", EnumSet.of(DispatcherType.REQUEST));
    }
    var server = new Server(new InetSocketAddress(args[0], Integer.parseInt(args[1])));
    server.setHandler(context);
    server.start();
    server.join();
  }

  /** Lets in who has the token, which it gives to those who know the secret, as OAuth 2 has it. */
  static class Door extends HttpFilter {
    private final String secret;

    Door(String secret) {
      this.secret = secret;
    }

    @Override
    protected void doFilter(HttpServletRequest asked, HttpServletResponse answer, FilterChain chain)
        throws IOException, ServletException {
      var token = "token-for-" + secret;
      if (asked.getRequestURI().equals("/v1/oauth/tokens")) {
        var knows = secret.equals(asked.getParameter("client_secret"));
        answer.setStatus(knows ? 200 : 401);
        answer
            .getWriter()
            .print(
                knows
                    ? "{\"access_token\": \"" + token + "\", \"token_type\": \"bearer\"}"
                    : "{\"error\": \"invalid_client\", \"error_description\": \"not the secret\"}");
      } else if (("Bearer " + token).equals(asked.getHeader("Authorization"))) {
        chain.doFilter(asked, answer);
      } else {
        answer.setStatus(401);
        answer
            .getWriter()
            .print(
                "{\"error\": {\"message\": \"not logged in\", "
                    + "\"type\": \"NotAuthorizedException\", \"code\": 401}}");
      }
    }
  }
}
